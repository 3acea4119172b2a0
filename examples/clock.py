"""Tells how far the local clock is off, by NTP (RFC 5905), with ntplib."""

import ntplib


def seconds_off(server: str, port: int) -> float:
    return float(ntplib.NTPClient().request(server, version=4, port=str(port), timeout=5).offset)
