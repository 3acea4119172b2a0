"""Keeps sessions in Redis."""

import redis


class SessionStore:
    def __init__(self, host: str, port: int) -> None:
        self._redis = redis.Redis(host, port, protocol=3, socket_timeout=5)

    def user_of(self, token: str) -> str | None:
        user = self._redis.get(f"session:{token}")
        return user.decode() if isinstance(user, bytes) else None

    def end(self, token: str) -> None:
        self._redis.delete(f"session:{token}")

    def close(self) -> None:
        self._redis.close()
