"""The base of every part of the settings: frozen, and unknown keys are refused."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field


class SettingsPart(BaseModel):
    """Base class: frozen; a key that is not declared is a fault. The text below a key is its description in the documents."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
Share = Annotated[float, Field(ge=0, le=1)]
Days = Annotated[int, Field(ge=1)]
Count = Annotated[int, Field(ge=1)]
Hour = Annotated[int, Field(ge=0, le=23)]
