import gzip
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.domain.errors import BadRequest, ResourceTooLarge
from server.http.codings import accepts_gzip, decode
from server.http.errors import Refused


@given(st.binary(max_size=2000))
def test_a_body_comes_back_as_it_was(body: bytes) -> None:
    assert decode(gzip.compress(body), "gzip", 2000) == body
    assert decode(zlib.compress(body), "Deflate", 2000) == body
    assert decode(gzip.compress(zlib.compress(body)), "deflate, x-gzip", 3000) == body
    assert decode(body, "identity", 0) == body


@given(st.binary(max_size=200), st.sampled_from(["gzip", "deflate", "gzip, deflate"]))
def test_what_is_not_so_coded_is_refused(body: bytes, codings: str) -> None:
    with pytest.raises(BadRequest):
        decode(body, codings, 2000)


def test_bounds_and_unknown_codings() -> None:
    body = gzip.compress(b"x" * 1001)
    assert len(decode(body, "gzip", 1001)) == 1001
    with pytest.raises(ResourceTooLarge):
        decode(body, "gzip", 1000)
    with pytest.raises(BadRequest):
        decode(body[:-9], "gzip", 2000)
    with pytest.raises(Refused):
        decode(body, "br", 2000)


@pytest.mark.parametrize(
    ("accepted", "allowed"),
    [
        ("", False),
        ("gzip", True),
        ("deflate, GZIP", True),
        ("br, x-gzip;q=0.5", True),
        ("gzip;q=0", False),
        ("gzip; q=0.000", False),
        ("gzip;q=0.001", True),
        ("identity", False),
        ("not-gzip", False),
    ],
)
def test_whether_gzip_is_accepted(accepted: str, allowed: bool) -> None:
    assert accepts_gzip(accepted) is allowed
