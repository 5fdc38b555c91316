"""Faces from end to end: pictures in, embedded, matched, re-ranked, drawn on a page."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import dataworth as dw


@pytest.mark.models
@pytest.mark.parametrize("rerank", [None, "st-lpips"])
def test_noisy_faces_find_the_faces_they_came_from(rerank: str | None, tmp_path: Path) -> None:
    from dataworth.models.faces import sample_faces

    faces = sample_faces(24, seed=1)
    noise = np.random.default_rng(0).normal(0, 6, faces[:8].shape)
    changed = np.clip(faces[:8] + noise, 0, 255).astype(np.uint8)
    train = dw.embed_items(dw.Items(images=faces, owners=["Ann", "Bob"] * 12), cache=False)
    generated = dw.embed_items(dw.Items(images=changed), cache=False)
    values = dw.value_generated(
        generated, train, method=dw.SimilarityMatch(k=3, rerank=rerank, candidates=6, temperature=0.01), progress=False
    )
    assert values.attributions is not None
    np.testing.assert_array_equal(values.attributions.at[:, 0], np.arange(8))
    assert set(values.highest(8).columns["id"]) == set(range(8))
    seen = dw.gather_matches(values, train, generated, show_rows=True, sensitivity=False, map=False)
    page = dw.write_report(seen, tmp_path / "faces.html").read_text(encoding="utf-8")
    assert page.count("data:image/") > 16
