"""Texts from files of others in the report: nothing in them acts on who reads it."""

from hw2exp.report.page import _written
from hw2exp.report.tables import write_table

ATTACK = "\x1b[2J\r\u202e\x9b"
SHOWN = r"\x1b[2J\r\u202e\x9b"


def test_tables_hold_no_control_characters(tmp_path):
    write_table([{f"key {ATTACK}": f"value {ATTACK}", "n": 1}], tmp_path, "runs")
    text = (tmp_path / "runs.csv").read_text(encoding="utf-8")
    assert text.replace("\n", "").isprintable()
    assert text.count(SHOWN) == 2


def test_the_page_shows_them_and_leaves_its_own_markup_alone():
    from jinja2 import Environment
    from markupsafe import Markup

    page = Environment(autoescape=True, finalize=_written).from_string("{{ a }}|{{ b }}|{{ c }}")
    text = page.render(a=f"<b>{ATTACK}", b=Markup("<svg>\n\t</svg>"), c=1)
    assert text == f"&lt;b&gt;{SHOWN}|<svg>\n\t</svg>|1"
