"""Every golden mail passes the checker, and the checker finds what it is there for."""

from pathlib import Path

import pytest

from tests.mail_checker import contrast, problems

GOLDEN = sorted((Path(__file__).parents[1] / "golden").glob("*.html"))
WELL = (
    '<!DOCTYPE html><html><head><meta name="color-scheme" content="light dark">'
    "<style>@media (prefers-color-scheme: dark) { p { color: #eee !important } }</style></head>"
    '<body><p style="color:#1c2430">41.2k</p>%s</body></html>'
)


def test_there_are_golden_mails():
    assert len(GOLDEN) >= 6


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_a_golden_mail_has_no_problem(path):
    assert problems(path.read_text()) == []
    assert len(path.read_bytes()) < 80_000


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("<script>x</script>", "<script> does not belong"),
        ('<img src="https://x/y.png" alt="7" width="10">', "fetches"),
        ('<img src="cid:a" alt="spend" width="10">', "states no number"),
        ('<img src="cid:a" alt="$7">', "no width"),
        ('<p onclick="x">1</p>', "runs onclick"),
        ('<a href="javascript:x">1</a>', "leads to"),
        ('<p style="color:#999999">pale</p>', "contrast of 2.8"),
        ('<p style="color:#000000;background-color:#222222">dark</p>', "contrast"),
        ('<p style="font-size:9px">tiny</p>', "9 px small"),
        ('<table width="900"><tr><td>1</td></tr></table>', "900 px wide"),
        ('<p style="background-image:url(x)">1</p>', "fetches or runs"),
        ("<style>p { color: #111111 }</style>", "outside @media"),
    ],
)
def test_what_is_wrong_is_found(wrong, said):
    assert problems(WELL % "") == []
    assert any(said in problem for problem in problems(WELL % wrong)), problems(WELL % wrong)


def test_contrast_is_that_of_the_standard():
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)
