"""Columns of a file in canonical types: ids, times, numbers; and what is said of items known on one side only."""

from datetime import datetime

import polars as pl

from recseq.data.interactions import DATETIME
from recseq.data.sources.files import Table
from recseq.errors import DataError

ISO_FORMATS = (
    *("%Y-%m-%d", "%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M", "%Y-%m-%d %H:%M:%S%.f"),
    *("%Y-%m-%d %H:%M:%S%z", "%Y-%m-%d %H:%M%z", "%Y-%m-%d %H:%M:%S%.f%z"),
)
"""Forms with a space for the T; fractions of seconds come late, since reading them is several times slower."""
UNIX_UNITS = {"unix_s": 1_000_000, "unix_ms": 1_000}
"""Microseconds per unit of a number that counts from 1970."""
SECONDS_OR_MILLISECONDS = 10**11
"""Seconds reach it in the year 5138, milliseconds did in 1973: a number beyond is in the other unit."""
PLAUSIBLE = (datetime(1900, 1, 1), datetime(2200, 1, 1))
"""Half-open range of times; "22.08.21" read with %Y is the year 21."""
WHOLE_NUMBER = r"^-?\d{9,}$"


def ids(table: Table, column: str) -> pl.Series:
    """Ids as given: Int64 if each value is written as an integer and nothing is lost by reading it so, else String.

    Raises:
        DataError: An id is missing, or the column holds neither integers nor strings.
    """
    values = table.frame[column]
    if values.dtype in (pl.Categorical, pl.Enum):
        values = values.cast(pl.String)
    if values.dtype == pl.String:
        table.refuse(column, values.is_null() | (values.str.len_bytes() == 0), "an id")
        return integers_if_lossless(values)
    if values.dtype.is_integer():
        table.refuse(column, values.is_null(), "an id")
        whole = values.cast(pl.Int64, strict=False)
        table.refuse(column, whole.is_null(), "an integer below 2^63")
        return whole
    raise DataError(f"{table.path}, column {column!r} has type {values.dtype}, ids must be integers or strings")


def integers_if_lossless(values: pl.Series) -> pl.Series:
    """Int64 if every text is exactly what the integer would be written as; "007", "+7" and " 7" stay texts."""
    # One value decides the common case of a whole column of texts without casting it.
    if values.head(1).cast(pl.Int64, strict=False).null_count():
        return values
    whole = values.cast(pl.Int64, strict=False)
    if whole.null_count() or not (whole.cast(pl.String) == values).all():
        return values
    return whole


def numbers(table: Table, column: str) -> pl.Series:
    """Numbers as Float32.

    Raises:
        DataError: A value is missing, no number, infinite or negative.
    """
    values = table.frame[column]
    if values.dtype == pl.String or values.dtype.is_numeric():
        parsed = values.cast(pl.Float32, strict=False)
        bad = parsed.is_null() | ~parsed.is_finite().fill_null(False) | (parsed < 0).fill_null(False)
        table.refuse(column, bad, "a finite number >= 0")
        return parsed
    raise DataError(f"{table.path}, column {column!r} has type {values.dtype}, must be numbers")


def datetimes(table: Table, column: str, datetime_format: str | None) -> pl.Series:
    """Times as naive UTC in microseconds; a time with a zone is converted to UTC first, one without is taken as UTC.

    Args:
        table: The file.
        column: Its column.
        datetime_format: `None` for ISO 8601 dates and timestamps (all forms may be mixed), `unix_s` or `unix_ms` for numbers that
            count from 1970, else a pattern of `strptime`.

    Raises:
        DataError: A value is missing, does not fit the format or lies outside `PLAUSIBLE`.
    """
    table.refuse(column, table.frame[column].is_null(), "a date or time")
    times = parsed_datetimes(table, column, datetime_format)
    first, last = PLAUSIBLE
    table.refuse(column, (times < first) | (times >= last), f"a time from {first.year} to {last.year}, is read as another year")
    return times


def parsed_datetimes(table: Table, column: str, datetime_format: str | None) -> pl.Series:
    """Times of a column without missing values; see `datetimes`."""
    values = table.frame[column]
    if values.dtype == pl.Date or isinstance(values.dtype, pl.Datetime):
        if datetime_format is not None:
            raise DataError(f"{table.path}, column {column!r} holds datetimes already; leave datetime_format empty (null)")
        return naive_utc(values.cast(pl.Datetime) if values.dtype == pl.Date else values)
    if datetime_format in UNIX_UNITS:
        return from_unix(table, column, datetime_format)
    if values.dtype != pl.String:
        hint = "; say datetime_format: unix_s or unix_ms" if values.dtype.is_numeric() else ""
        raise DataError(f"{table.path}, column {column!r} has type {values.dtype}, must be dates or times{hint}")
    if datetime_format is None:
        parsed = from_iso(values)
        bad = parsed.is_null()
        looks_unix = bad.any() and values.filter(bad).str.contains(WHOLE_NUMBER).all()
        hint = "; is it Unix time? Say datetime_format: unix_s or unix_ms" if looks_unix else "; for another form set datetime_format"
        table.refuse(column, bad, f"an ISO date or time like 2021-08-22 or 2021-08-22T18:30:00{hint}")
        return parsed
    try:
        parsed = naive_utc(values.str.to_datetime(datetime_format, time_unit="us", strict=False))
    except pl.exceptions.PolarsError as error:
        raise DataError(f"datetime_format {datetime_format!r} is no pattern: {error}") from None
    table.refuse(column, parsed.is_null(), f"a time of the form {datetime_format!r}")
    return parsed


def from_iso(values: pl.Series) -> pl.Series:
    """ISO 8601 texts to naive UTC; null where a text is none. Each form is tried on what the forms before left over."""
    # Most files have one form, the first value's, and are done after one pass.
    first = spaced(values.head(1))
    forms = sorted(ISO_FORMATS, key=lambda form: parse(first, form).null_count())
    as_written = first.equals(values.head(1))
    parsed = parse(values if as_written else spaced(values), forms[0])
    for form in forms:
        left = parsed.is_null().arg_true()
        if left.is_empty():
            break
        parsed = parsed.scatter(left, parse(spaced(values.gather(left)), form))
    return parsed


def spaced(texts: pl.Series) -> pl.Series:
    """ISO 8601 texts with a space for the T and without Z, which means UTC, as does no zone at all."""
    return texts.str.strip_suffix("Z").str.replace("T", " ", literal=True)


def parse(texts: pl.Series, form: str) -> pl.Series:
    """Texts of one form to naive UTC; null where a text has another form."""
    if form.endswith("%z"):
        # Offsets may lack minutes.
        texts = texts.str.replace(r"([+-]\d\d)$", "${1}:00")
    return naive_utc(texts.str.to_datetime(form, time_unit="us", strict=False, cache=False))


def from_unix(table: Table, column: str, unit: str) -> pl.Series:
    """Numbers that count seconds or milliseconds from 1970 to naive UTC; see `datetimes`."""
    values = table.frame[column]
    if values.dtype != pl.String and not values.dtype.is_numeric():
        raise DataError(f"{table.path}, column {column!r} has type {values.dtype}, must be numbers for datetime_format: {unit}")
    whole = values.cast(pl.Int64, strict=False)
    if values.dtype.is_float() or whole.null_count():
        count = values.cast(pl.Float64, strict=False)
        bad = ~count.is_finite().fill_null(False)
        table.refuse(column, bad, f"a number that counts {'seconds' if unit == 'unix_s' else 'milliseconds'} from 1970")
    else:
        count = whole
    if unit == "unix_s":
        table.refuse(column, count.abs() >= SECONDS_OR_MILLISECONDS, "Unix seconds; are these milliseconds? Say datetime_format: unix_ms")
    else:
        table.refuse(column, count < SECONDS_OR_MILLISECONDS, "Unix milliseconds; are these seconds? Say datetime_format: unix_s")
    return (count * UNIX_UNITS[unit]).cast(pl.Int64).cast(DATETIME)


def naive_utc(values: pl.Series) -> pl.Series:
    """Datetimes of any unit and zone as naive UTC in microseconds."""
    if isinstance(values.dtype, pl.Datetime) and values.dtype.time_zone is not None:
        values = values.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
    return values.cast(DATETIME)


def one_sided_items(taken: pl.Series, described: pl.Series) -> tuple[int, int]:
    """How many items are known on one side only.

    Args:
        taken: Item ids of interactions.
        described: Item ids with features, of the same type.

    Returns:
        Number of items with features but no interactions, and with interactions but no features.
    """
    taken, described = taken.unique(), described.unique()
    both = int(taken.is_in(described.implode()).sum())
    return len(described) - both, len(taken) - both
