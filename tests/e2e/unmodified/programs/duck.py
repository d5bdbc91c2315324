"""Prints an object, and once more when the file that is named last is there: with DuckDB's own chain of credentials."""

import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

import duckdb
import duckdb_extension_aws
import duckdb_extension_httpfs

aws, bucket, key, *file = sys.argv[1:]
connection = duckdb.connect()
for package in (duckdb_extension_httpfs, duckdb_extension_aws):
    (extension,) = Path(package.__file__).parent.glob("extensions/*/*.duckdb_extension")
    connection.execute(f"LOAD '{extension}'")


def read() -> str:
    """Returns the object."""
    return connection.execute("SELECT content FROM read_text(?)", [f"s3://{bucket}/{key}"]).fetchall()[0][0]


try:
    connection.execute(
        "CREATE SECRET (TYPE s3, PROVIDER credential_chain, REFRESH auto,"
        f" ENDPOINT '{urlsplit(aws).netloc}', USE_SSL false, URL_STYLE path)"
    )
    print(read(), flush=True)
    while file and not Path(file[0]).exists():
        time.sleep(0.2)
    if file:
        print("again", read())
except duckdb.Error as error:
    sys.exit(str(error))
