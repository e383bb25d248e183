"""What every part of the settings is: frozen, unknown keys refused."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field


class SettingsPart(BaseModel):
    """Base: frozen, and a key that is not declared is a fault."""

    model_config = ConfigDict(frozen=True, extra="forbid")


Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
Share = Annotated[float, Field(ge=0, le=1)]
Days = Annotated[int, Field(ge=1)]
Hour = Annotated[int, Field(ge=0, le=23)]
