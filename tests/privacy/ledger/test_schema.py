"""The migrations make the tables that the code asks, and bring older ones up to date."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import inspect

from dataworth.privacy.ledger import Ledger, schema, store
from tests.privacy.ledger.helpers import commit, create, execute

SECOND = '''
"""A second migration."""
import sqlalchemy as sa
from alembic import op
revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None
def upgrade():
    op.add_column("dataworth_outbox", sa.Column("note", sa.Text))
'''


def test_the_tables_are_those_of_the_code(location: str) -> None:
    ledger = create(location)
    with ledger._store.reading() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": schema.VERSION_TABLE})
        assert compare_metadata(context, schema.METADATA) == []
        found = inspect(connection)
        for table in schema.METADATA.tables.values():
            names = {constraint.name for constraint in table.constraints if constraint.name}
            kept = {str(c["name"]) for c in found.get_check_constraints(table.name)}
            kept |= {str(c["name"]) for c in found.get_unique_constraints(table.name)}
            assert names <= kept


def test_the_revisions_are_those_of_the_migrations() -> None:
    settings = Config()
    settings.set_main_option("script_location", str(store._MIGRATIONS))
    scripts = ScriptDirectory.from_config(settings)
    assert [script.revision for script in scripts.walk_revisions()][::-1] == list(schema.REVISIONS)


def test_an_older_ledger_is_brought_up_to_date(location: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a migration that is yet to be written: nothing is lost and the chain still holds."""
    commit(create(location), key="k", payload=b"before")
    folder = tmp_path / "migrations"
    shutil.copytree(store._MIGRATIONS, folder)
    (folder / "versions" / "ledger_0002.py").write_text(SECOND)
    monkeypatch.setattr(store, "_MIGRATIONS", folder)
    monkeypatch.setattr(schema, "REVISIONS", ("0001", "0002"))
    ledger = Ledger.open(location)
    assert execute(location, "SELECT version_num FROM dataworth_version") == [("0002",)]
    assert execute(location, "SELECT note FROM dataworth_outbox") == [(None,)]
    assert ledger.verify().ok
    assert commit(ledger, key="k").payload == b"before"
    commit(Ledger.open(location))
    assert ledger.verify().releases == 2


def test_a_migration_that_fails_changes_nothing(location: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commit(create(location))
    folder = tmp_path / "migrations"
    shutil.copytree(store._MIGRATIONS, folder)
    (folder / "versions" / "ledger_0002.py").write_text(f"{SECOND}    raise RuntimeError('half way')\n")
    with monkeypatch.context() as patch:
        patch.setattr(store, "_MIGRATIONS", folder)
        patch.setattr(schema, "REVISIONS", ("0001", "0002"))
        with pytest.raises(RuntimeError, match="half way"):
            Ledger.open(location)
    ledger = Ledger.open(location)
    assert ledger.verify().ok
    with ledger._store.reading() as connection:
        assert "note" not in {column["name"] for column in inspect(connection).get_columns("dataworth_outbox")}
