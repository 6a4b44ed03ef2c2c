import pytest
from hydra.core.config_store import ConfigStore

from hw2exp.config import registry
from tests.config.own import EXAMPLES


@pytest.fixture
def own():
    """Register the choices of the examples, and forget them and others in the end."""
    assert all(registry.CHOICES.values())  # imported before they are remembered
    repo = ConfigStore.instance().repo
    tables = [
        registry._EQUATIONS, registry.ADDED_CHOICES, *registry._SECTIONS.values(),
        *(repo.setdefault(group, {}) for group in registry.CHOICES),
    ]  # fmt: skip
    before = [dict(table) for table in tables]
    scope = {"__name__": "my_choices"}
    exec((EXAMPLES / "my_choices.py").read_text(encoding="utf-8"), scope)
    yield scope
    for table, kept in zip(tables, before, strict=True):
        table.clear()
        table.update(kept)
