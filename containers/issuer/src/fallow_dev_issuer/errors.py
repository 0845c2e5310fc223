"""The two ways in which the issuer says no: to the person at the command line, and to an OAuth client."""


class IssuerError(Exception):
    """Something that the person who runs the issuer can mend; the message says what and how."""


class OAuthError(Exception):
    """A refusal for a client, as in RFC 6749 section 5.2.

    Args:
        code: The `error` code of the answer.
        description: One sentence for people.
        status: The HTTP status.
    """

    def __init__(self, code: str, description: str, *, status: int = 400) -> None:
        super().__init__(f"{code}: {description}")
        self.code = code
        self.description = description
        self.status = status
