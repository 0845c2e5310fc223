"""A test certificate authority and server certificates that it signs; for development networks only."""

import ipaddress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from fallow_dev_issuer.errors import IssuerError
from fallow_dev_issuer.state import write_private

CA_LIFE = timedelta(days=730)
SERVER_LIFE = timedelta(days=90)
RENEW_BEFORE = timedelta(days=7)
CLOCK_SKEW = timedelta(minutes=5)


def _names(hosts: list[str]) -> list[x509.GeneralName]:
    names: list[x509.GeneralName] = []
    for host in hosts:
        try:
            names.append(x509.IPAddress(ipaddress.ip_address(host)))
        except ValueError:
            if not host or not all(char.isascii() and (char.isalnum() or char in "-.") for char in host):
                raise IssuerError(f"{host!r} is neither a host name nor an IP address.") from None
            names.append(x509.DNSName(host))
    return names


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _usage(*, authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=authority,
        crl_sign=authority,
        encipher_only=False,
        decipher_only=False,
    )


class TestAuthority:
    """A certificate authority in a directory: `ca.pem` may be handed out, `ca-key.pem` never leaves."""

    __test__ = False  # its name is no reason for pytest to collect it

    def __init__(self, directory: Path) -> None:
        self.certificate_file = directory / "ca.pem"
        self._key_file = directory / "ca-key.pem"

    def ensure(self, now: datetime) -> None:
        """Make the authority unless it is there and lasts."""
        if self._key_file.exists() and self.certificate_file.exists() and self._lasts(now):
            return
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name(
            [
                x509.NameAttribute(NameOID.ORGANIZATION_NAME, "DEVELOPMENT ONLY, do not trust"),
                x509.NameAttribute(NameOID.COMMON_NAME, "Fallow test CA"),
            ]
        )
        identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - CLOCK_SKEW)
            .not_valid_after(now + CA_LIFE)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(authority=True), critical=True)
            .add_extension(identifier, critical=False)
            .sign(key, hashes.SHA256())
        )
        write_private(self._key_file, _pem(key))
        write_private(self.certificate_file, certificate.public_bytes(serialization.Encoding.PEM), mode=0o644)

    def ensure_certificate(self, hosts: list[str], out: Path, now: datetime) -> None:
        """Make `out`/`tls.pem`, `tls-key.pem` (0600) and `ca.pem`, unless they are there and fit.

        Args:
            hosts: Names and addresses that the server is reached at; the first is the common name.
            out: The directory, made if missing.
            now: The moment that counts, with a time zone.

        Raises:
            IssuerError: A host is no name, or the authority was never made.
        """
        names = _names(hosts)
        try:
            authority = x509.load_pem_x509_certificate(self.certificate_file.read_bytes())
            authority_key = serialization.load_pem_private_key(self._key_file.read_bytes(), password=None)
        except (OSError, ValueError) as error:
            raise IssuerError("The test CA is missing or damaged. Run `fallow-dev-issuer init`.") from error
        if not isinstance(authority_key, ec.EllipticCurvePrivateKey):
            raise IssuerError(
                "The test CA's key is of another kind. Remove ca-key.pem and run `fallow-dev-issuer init`."
            )
        out.mkdir(parents=True, exist_ok=True)
        if out.resolve() != self.certificate_file.parent.resolve():
            write_private(out / "ca.pem", self.certificate_file.read_bytes(), mode=0o644)
        if _fits(out / "tls.pem", out / "tls-key.pem", names, authority, now):
            return
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, hosts[0][:64])]))
            .issuer_name(authority.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - CLOCK_SKEW)
            .not_valid_after(min(now + SERVER_LIFE, authority.not_valid_after_utc))
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(authority=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key()), critical=False
            )
            .sign(authority_key, hashes.SHA256())
        )
        write_private(out / "tls-key.pem", _pem(key))
        write_private(out / "tls.pem", certificate.public_bytes(serialization.Encoding.PEM), mode=0o644)

    def _lasts(self, now: datetime) -> bool:
        try:
            certificate = x509.load_pem_x509_certificate(self.certificate_file.read_bytes())
        except ValueError:
            return False
        return certificate.not_valid_after_utc - now > SERVER_LIFE


def _fits(
    certificate_file: Path,
    key_file: Path,
    names: list[x509.GeneralName],
    authority: x509.Certificate,
    now: datetime,
) -> bool:
    """Whether the certificate there is for these names, from this authority, matches its key and lasts."""
    try:
        certificate = x509.load_pem_x509_certificate(certificate_file.read_bytes())
        key = serialization.load_pem_private_key(key_file.read_bytes(), password=None)
        certificate.verify_directly_issued_by(authority)
        named = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (OSError, ValueError, TypeError, InvalidSignature, x509.ExtensionNotFound):
        return False
    return (
        list(named) == names
        and key.public_key() == certificate.public_key()
        and certificate.not_valid_after_utc - now > RENEW_BEFORE
    )


def utc_now() -> datetime:
    """The present moment, in UTC."""
    return datetime.now(UTC)
