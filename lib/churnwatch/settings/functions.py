"""The SQL functions that expressions of the configuration may call: their result depends on their arguments alone."""

from collections.abc import Iterator

import sqlglot
from sqlglot import TokenType

ALLOWED = (
    # conditions and nulls
    """coalesce if ifnull nvl nvl2 nullif nullifzero zeroifnull isnull isnotnull isnan nanvl equal_null greatest least decode
    between case when like ilike rlike regexp regexp_like startswith endswith contains in exists
    """
    # numbers
    """abs ceil ceiling floor round bround sign signum sqrt cbrt exp expm1 ln log log10 log1p log2 pow power mod pmod div
    positive negative try_add try_subtract try_multiply try_divide try_mod factorial hypot degrees radians sin cos tan asin acos
    atan atan2 sinh cosh tanh asinh acosh atanh cot csc sec pi e rint width_bucket bin hex unhex conv bit_count bit_get getbit
    shiftleft shiftright shiftrightunsigned to_number try_to_number
    """
    # conversions
    """cast try_cast bigint int integer smallint tinyint double float real decimal numeric string boolean binary date timestamp
    timestamp_ntz timestamp_ltz varchar char array map struct named_struct interval to_char to_varchar typeof
    """
    # texts
    """concat concat_ws substr substring substring_index left right lower lcase upper ucase initcap trim ltrim rtrim btrim lpad
    rpad repeat replace translate overlay reverse length len char_length character_length octet_length bit_length position
    locate instr charindex ascii chr find_in_set elt field format_number format_string printf space split split_part sentences
    levenshtein soundex regexp_replace regexp_extract regexp_extract_all regexp_count regexp_instr regexp_substr base64 unbase64
    try_base64 encode to_binary try_to_binary url_decode url_encode try_url_decode parse_url try_parse_url luhn_check mask
    is_valid_utf8 make_valid_utf8 validate_utf8 try_validate_utf8 collate quote
    """
    # hashes
    """md5 sha sha1 sha2 crc32 hash xxhash64
    """
    # dates and times
    """add_months months_between date_add date_sub dateadd date_diff datediff datepart date_part date_format date_from_unix_date
    date_trunc day dayname dayofmonth dayofweek dayofyear extract from_unixtime from_utc_timestamp to_utc_timestamp hour
    last_day make_date try_make_date make_interval try_make_interval make_dt_interval make_ym_interval make_timestamp
    try_make_timestamp make_timestamp_ntz make_timestamp_ltz minute month monthname next_day quarter second timestampadd
    timestampdiff timestamp_seconds timestamp_millis timestamp_micros to_date try_to_date to_timestamp try_to_timestamp
    to_timestamp_ntz to_timestamp_ltz to_unix_timestamp unix_timestamp unix_date unix_seconds unix_millis unix_micros trunc
    weekday weekofyear year convert_timezone
    """
    # arrays, maps and structs
    """size cardinality array_size array_append array_prepend array_insert array_compact array_contains array_distinct
    array_except array_intersect array_join array_max array_min array_position array_remove array_repeat array_sort array_union
    arrays_overlap arrays_zip element_at try_element_at get getbit flatten slice sequence sort_array concat filter transform
    transform_keys transform_values aggregate reduce forall zip_with map_concat map_contains_key map_entries map_filter
    map_from_arrays map_from_entries map_keys map_values map_zip_with str_to_map
    """
    # JSON, XML and variants
    """from_json to_json get_json_object json_array_length json_object_keys schema_of_json parse_json try_parse_json variant_get
    try_variant_get is_variant_null to_variant_object from_csv to_csv xpath xpath_string xpath_int xpath_long xpath_double
    xpath_boolean
    """
    # aggregates whose result does not depend on the order of rows
    """count count_if sum try_sum avg mean try_avg min max min_by max_by bool_and bool_or every some any stddev stddev_samp
    stddev_pop variance var_samp var_pop median percentile corr covar_pop covar_samp kurtosis skewness
    """
)
ALLOWED_FUNCTIONS = frozenset(ALLOWED.split())
# words of the grammar that may stand before a parenthesis
GRAMMAR = "and or not in is on as then else when case between like over distinct end from using by all some any"
CALLABLE = ALLOWED_FUNCTIONS | frozenset(GRAMMAR.split())
# names that Spark reads as the clock or as who runs it where no column has the name; in backticks they are columns
CLOCK = """current_date current_timestamp localtimestamp current_time current_timezone curdate now
    current_user session_user user current_catalog current_database current_schema"""
CLOCK_NAMES = frozenset(CLOCK.split())
NEEDS_ARGUMENTS = frozenset(["unix_timestamp"])  # without an argument it reads the clock


def refused_functions(text: str) -> Iterator[str]:
    """Yield each function or name in the Spark SQL expression ``text`` that is not allowed.

    >>> list(refused_functions("coalesce(a, 1) + rand()"))
    ['rand']
    >>> list(refused_functions("(a + b) IN (1, 2) AND event_day < current_date"))
    ['current_date']
    >>> list(refused_functions("unix_timestamp() - unix_timestamp(at) + other.secret('a', 'b')"))
    ['unix_timestamp', 'secret']
    """
    tokens = sqlglot.tokenize(text, read="spark")
    kinds = [token.token_type for token in tokens] + [None, None]
    for index, token in enumerate(tokens):
        name, is_part = token.text.lower(), index > 0 and kinds[index - 1] == TokenType.DOT
        if not _is_word(token):
            continue
        if kinds[index + 1] == TokenType.L_PAREN:
            reads_clock = name in NEEDS_ARGUMENTS and kinds[index + 2] == TokenType.R_PAREN
            if is_part or name not in CALLABLE or reads_clock:
                yield name
        elif name in CLOCK_NAMES and not is_part and token.token_type != TokenType.IDENTIFIER:
            yield name


def _is_word(token: "sqlglot.tokens.Token") -> bool:
    """Test whether a token is a name or a keyword, also in backticks, and not a text, a number or a sign."""
    return token.token_type not in (TokenType.STRING, TokenType.NUMBER) and token.text.replace("_", "a").isalnum()
