"""Texts from files of others in the report: nothing in them acts on who reads it."""

from hw2exp.report.measures import runs_table
from hw2exp.report.page import _written
from hw2exp.report.tables import write_table

ATTACK = "\x1b[2J\r\u202e\x9b"
SHOWN = r"\x1b[2J\r\u202e\x9b"


def test_tables_hold_no_control_characters(tmp_path):
    import polars

    frame = polars.DataFrame({f"key {ATTACK}": [f"value {ATTACK}"], "n": [1]})
    write_table(frame, tmp_path, "runs")
    text = (tmp_path / "runs.csv").read_text(encoding="utf-8")
    assert text.replace("\n", "").isprintable()
    assert text.count(SHOWN) == 2
    assert runs_table([]).is_empty()


def test_the_page_shows_them_and_leaves_its_own_markup_alone():
    from jinja2 import Environment
    from markupsafe import Markup

    page = Environment(autoescape=True, finalize=_written).from_string("{{ a }}|{{ b }}|{{ c }}")
    text = page.render(a=f"<b>{ATTACK}", b=Markup("<svg>\n\t</svg>"), c=1)
    assert text == f"&lt;b&gt;{SHOWN}|<svg>\n\t</svg>|1"
