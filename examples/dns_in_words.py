"""Says what a DNS message says, for whoever reads the report of a failed test."""

import dns.exception
import dns.flags
import dns.message
import dns.rcode


def told(data: bytes) -> str | None:
    """A DNS message in words, such as ``query for example.org. A``; None if it is none."""
    try:
        message = dns.message.from_wire(data)
    except dns.exception.DNSException:
        return None
    questions = ", ".join(f"{question.name} {question.rdtype.name}" for question in message.question)
    if not message.flags & dns.flags.QR:
        return f"query for {questions}"
    answers = ", ".join(str(answer).replace("\n", ", ") for answer in message.answer)
    return f"answer to {questions}: {answers or dns.rcode.to_text(message.rcode())}"
