"""Where a PostgreSQL database is: what a URL may say, and what is refused without repeating it."""

from pathlib import Path

import pytest

from remit_server.config.postgresql import AddressRefused, postgresql_address


@pytest.mark.parametrize(
    ("url", "name", "parameters"),
    [
        (
            "postgresql://remit@localhost/ledger",
            "the database ledger at localhost:5432",
            {"host": "localhost", "port": "5432", "user": "remit", "dbname": "ledger", "sslmode": "prefer"},
        ),
        (
            "postgresql:///ledger?host=/run/postgresql&port=6000",
            "the database ledger at /run/postgresql",
            {"host": "/run/postgresql", "port": "6000", "dbname": "ledger", "sslmode": "prefer"},
        ),
        (
            "postgresql://one.example,two.example:6000/ledger?target_session_attrs=read-write&sslrootcert=/ca.pem",
            "the database ledger at one.example:5432,two.example:6000",
            {
                "host": "one.example,two.example",
                "port": "5432,6000",
                "target_session_attrs": "read-write",
                "sslmode": "verify-full",
                "sslrootcert": "/ca.pem",
            },
        ),
        (
            "postgresql://[::1]:6000/led%20ger",
            "the database led ger at ::1:6000",
            {"host": "::1", "port": "6000", "dbname": "led ger"},
        ),
        (
            "postgresql://a%40b@db.example/x?sslcert=/c.pem&sslkey=/k.pem&sslrootcert=/ca.pem",
            "the database x at db.example:5432",
            {"user": "a@b", "sslcert": "/c.pem", "sslkey": "/k.pem"},
        ),
    ],
)
def test_a_url_becomes_what_libpq_connects_with(url: str, name: str, parameters: dict[str, str]) -> None:
    address = postgresql_address(url)

    assert address.name == name
    assert address.parameters.items() >= parameters.items()


@pytest.mark.parametrize("mode", ["disable", "allow", "prefer", "require", "verify-ca"])
@pytest.mark.parametrize("hosts", ["db.example", "10.0.0.1", "localhost,db.example", "127.evil.example"])
def test_a_server_elsewhere_is_always_verified_by_its_name(mode: str, hosts: str) -> None:
    with pytest.raises(AddressRefused, match="does not verify the server"):
        postgresql_address(f"postgresql://{hosts}/db?sslmode={mode}&sslrootcert=/ca.pem")


def test_a_server_elsewhere_is_verified_by_the_authorities_of_this_machine_unless_others_are_named() -> None:
    unnamed = postgresql_address("postgresql://db.example/db")
    named = postgresql_address("postgresql://db.example/db?sslrootcert=/ca.pem")

    assert unnamed.parameters["sslmode"] == named.parameters["sslmode"] == "verify-full"
    assert unnamed.authorities is not None
    assert unnamed.authorities.is_file()
    assert named.authorities == Path("/ca.pem")


def test_a_server_here_that_is_not_verified_is_given_no_password_in_clear() -> None:
    assert postgresql_address("postgresql://127.0.0.1/db").parameters["require_auth"] == "!password"


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("postgresql://remit:hunter2@db.example/db", "holds a password"),
        ("postgresql://db.example/db?password=hunter2", "holds a password"),
        ("postgresql://db.example/db?passfile=/hunter2", "holds a password"),
        ("postgres://hunter2@db.example/db", "cannot be read"),
        ("postgresql+psycopg://hunter2/db", "cannot be read"),
        ("postgresql://hunter2", "cannot be read"),
        ("postgresql://hunter2/", "cannot be read"),
        ("postgresql://db.example/hunter2/more", "cannot be read"),
        ("postgresql://db.example/hunter2#x", "cannot be read"),
        ("postgresql:///hunter2", "names no host"),
        ("postgresql:///hunter2?host=db.example", "names no host"),
        ("postgresql://db.example/hunter2?host=/run", "names a host twice"),
        ("postgresql://db.example,/hunter2", "names no host"),
        ("postgresql://db.example:0/hunter2", "names no port"),
        ("postgresql://db.example:65536/hunter2", "names no port"),
        ("postgresql://db.example/hunter2?options=-c%20fsync=off", "not known"),
        ("postgresql://db.example/hunter2?service=x", "not known"),
        ("postgresql://db.example/hunter2?hostaddr=10.0.0.1", "not known"),
        ("postgresql://db.example/hunter2?port=1&port=2", "given twice"),
        ("postgresql://db.example/hunter2?sslmode=", "empty"),
        ("postgresql://db.example/hunter2?sslmode=none", "another sslmode"),
        ("postgresql://db.example/hunter2?sslrootcert=ca.pem", "relative path"),
        ("postgresql://localhost/hunter2?target_session_attrs=standby", "another target_session_attrs"),
        ("postgresql://localhost/hunter2%00x", "cannot be printed"),
    ],
)
def test_any_other_url_is_refused_without_repeating_it(url: str, why: str) -> None:
    with pytest.raises(AddressRefused, match=why) as raised:
        postgresql_address(url)

    assert "hunter2" not in str(raised.value)
