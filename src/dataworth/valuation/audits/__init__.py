"""Audits: attacks run on data that the auditor holds, and what they show."""

from dataworth.valuation.audits.epsilon import audit_epsilon
from dataworth.valuation.audits.membership import audit_membership

__all__ = ["audit_epsilon", "audit_membership"]
