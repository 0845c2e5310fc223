"""Models that can say what their fields mean."""

from __future__ import annotations

import ast
import inspect
from textwrap import dedent

from pydantic import BaseModel, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema


class Documented(BaseModel):
    """Base of models whose JSON schema holds, for each field, the string that stands below it.

    pydantic can take these too (`use_attribute_docstrings`), but it reads them whenever a model is imported, which was a
    quarter of the time that a command needs to start.
    """

    @classmethod
    def meanings(cls) -> dict[str, str]:
        """Field → what it means, in one line; fields without a string are left out."""
        found: dict[str, str] = {}
        for one in reversed(cls.__mro__):
            if issubclass(one, Documented):
                [tree] = ast.parse(dedent(inspect.getsource(one))).body
                body = tree.body if isinstance(tree, ast.ClassDef) else []
                for field, words in zip(body, body[1:]):
                    if isinstance(field, ast.AnnAssign) and isinstance(words, ast.Expr):
                        found[ast.unparse(field.target)] = " ".join(ast.literal_eval(words.value).split())
        return found

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        schema = handler(core_schema)
        fields = handler.resolve_ref_schema(schema)["properties"]
        for name, meaning in cls.meanings().items():
            fields.get(name, {}).setdefault("description", meaning)
        return schema
