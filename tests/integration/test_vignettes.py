"""The committed vignettes through the whole rule: verdict, reason, conditions, share."""

import tomllib
from decimal import Decimal
from pathlib import Path

import pytest

from monitor import library
from monitor.domain.advised import to_json
from monitor.domain.case import case_of
from monitor.domain.recommend import recommend

ROOT = Path(__file__).parents[2]
FILE, SECOND, THIRD = (
    tomllib.loads((ROOT / "tests" / name).read_text(), parse_float=Decimal)
    for name in ("vignettes.toml", "vignettes_second.toml", "vignettes_third.toml")
)


def tables_of(vignette):
    base = vignette.get("base", "f14-flat")
    text = (ROOT / f"docs/examples/{base}.toml").read_text()
    tables = tomllib.loads(text, parse_float=Decimal)
    tables["gates"] = {} if vignette.get("bare") else dict(FILE["answered"])
    tables.setdefault("facts", {})["as_of"] = "2026-11-24"
    for name in vignette.get("unset", ()):
        table, _, key = name.rpartition(".")
        if table == "gates":
            del tables["gates"][key]
    for name, values in vignette.get("set", {}).items():
        tables[name] = {**tables.get(name, {}), **values}
    return tables


def said(vignette):
    """What the vignette's advice says of everything that it expects."""
    found = to_json(recommend(case_of(tables_of(vignette), library.guide())))
    figures = found["figures"]
    by_name = {
        **{name: found[name] for name in ("kind", "share", "reason", "replicas")},
        "would": (found["would_be"] or {}).get("kind"),
        "b": found["orders"]["b"]["reason"],
        "bands": [band["place"] for band in found["bands"]],
        "savings": figures["savings_usd_per_month"],
        "own": figures["own_usd_per_month"],
        "net": figures["net_12_months_usd"],
        "constraint": figures["constraint_usd_per_month"],
        "optimised": figures["optimised_api_usd_per_month"],
    }
    ids = {"conditions": "conditions", "open": "open_questions"}
    by_name |= {name: [r["id"] for r in found[key]] for name, key in ids.items()}
    expected = vignette["expect"]
    # Of notes and lines at zero only those that the vignette is about.
    for name, have in (
        ("notes", [note["id"] for note in found["notes"]]),
        ("zero", found["assumed_zero"]),
    ):
        by_name[name] = [item for item in have if item in expected.get(name, ())]
    return {name: by_name[name] for name in expected}


@pytest.mark.proof
@pytest.mark.parametrize("vignette", FILE["vignette"], ids=lambda v: v["name"])
def test_a_vignette_gets_its_verdict_conditions_share_and_reason(vignette):
    assert said(vignette) == vignette["expect"]


@pytest.mark.proof
@pytest.mark.parametrize("vignette", SECOND["vignette"], ids=lambda v: v["name"])
def test_a_second_readers_vignette_gets_its_verdict_conditions_share_and_reason(vignette):
    assert said(vignette) == vignette["expect"]


@pytest.mark.proof
@pytest.mark.parametrize("vignette", THIRD["vignette"], ids=lambda v: v["name"])
def test_a_third_readers_vignette_gets_its_verdict_conditions_share_and_reason(vignette):
    assert said(vignette) == vignette["expect"]


@pytest.mark.parametrize("table", [SECOND, THIRD], ids=["second", "third"])
def test_a_later_table_has_names_of_its_own_and_many(table):
    names = {vignette["name"] for vignette in table["vignette"]}
    assert len(names) == len(table["vignette"]) >= 40


def test_there_are_sixty_with_names_of_their_own():
    assert len({vignette["name"] for vignette in FILE["vignette"]}) == 60
