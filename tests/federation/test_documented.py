"""Models tell what their fields mean in their JSON schema."""

from __future__ import annotations

from fallow.documented import Documented


class Base(Documented):
    """Something."""

    name: str
    """What it is
    called."""
    plain: int = 0


class Below(Base):
    """More of it."""

    inner: Base | None = None
    """Another one."""
    name: str
    """Another word for it."""


def test_a_field_means_what_stands_below_it_last() -> None:
    assert Base.meanings() == {"name": "What it is called."}
    assert Below.meanings() == {"name": "Another word for it.", "inner": "Another one."}


def test_a_schema_holds_the_meanings_of_all_its_models() -> None:
    schema = Below.model_json_schema()
    told = {name: field.get("description") for name, field in schema["properties"].items()}
    assert told == {"name": "Another word for it.", "plain": None, "inner": "Another one."}
    assert schema["$defs"]["Base"]["properties"]["name"]["description"] == "What it is called."
    assert schema["description"] == "More of it."
