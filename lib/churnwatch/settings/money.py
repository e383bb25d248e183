"""The currency of all amounts: money.yaml."""

from pydantic import Field, field_validator

from churnwatch.settings.base import SettingsPart

# ISO 4217: currencies whose minor unit is not a hundredth
OF_DIGITS = {
    0: "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF",
    3: "BHD IQD JOD KWD LYD OMN TND",
    4: "CLF UYW",
}
MINOR_DIGITS = {code: digits for digits, codes in OF_DIGITS.items() for code in codes.split()}


class Money(SettingsPart):
    """money.yaml: the currency of all amounts that are stored, in its minor units (cents, where it has cents)."""

    currency: str | None = Field(default=None, examples=["EUR"])
    """ISO 4217 code. Events in another currency are converted by the series `fx_<code>` of the context, scope `base`: units of
    this currency for one unit of the other, as of the event's day; without a rate they are refused as other_currency. Null:
    sources map no currency, and a minor unit is a hundredth."""

    @field_validator("currency")
    @classmethod
    def _is_code(cls, code: str | None) -> str | None:
        if code is not None and not (len(code) == 3 and code.isascii() and code.isalpha() and code.isupper()):
            raise ValueError("a currency is a code of ISO 4217: three capital letters, such as EUR")
        return code

    @property
    def minor_digits(self) -> int:
        """Decimals of an amount in this currency: EUR 2, JPY 0, KWD 3."""
        return MINOR_DIGITS.get(self.currency or "", 2)
