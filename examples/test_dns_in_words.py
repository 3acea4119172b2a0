import dns.message
import dns.rrset
import pytest
from dns_in_words import told


def test_a_query_and_its_answers() -> None:
    query = dns.message.make_query("example.org", "AAAA")
    assert told(query.to_wire()) == "query for example.org. AAAA"
    answer = dns.message.make_response(query)
    assert told(answer.to_wire()) == "answer to example.org. AAAA: NOERROR"
    answer.answer = [dns.rrset.from_text("example.org.", 60, "IN", "AAAA", "2001:db8::1")]
    assert told(answer.to_wire()) == "answer to example.org. AAAA: example.org. 60 IN AAAA 2001:db8::1"


@pytest.mark.parametrize("data", [b"", b"no DNS", bytes(12)[:-1]])
def test_what_is_no_dns_is_not_told_of(data: bytes) -> None:
    assert told(data) is None
