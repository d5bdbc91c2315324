"""Prints an object, and once more when the file that is named last is there: a program of somebody who knows boto3."""

import sys
import time
from pathlib import Path

import boto3
from botocore.exceptions import BotoCoreError, ClientError

bucket, key, *file = sys.argv[1:]
s3 = boto3.client("s3")
try:
    print(s3.get_object(Bucket=bucket, Key=key)["Body"].read().decode(), flush=True)
    while file and not Path(file[0]).exists():
        time.sleep(0.2)
    if file:
        print("again", s3.get_object(Bucket=bucket, Key=key)["Body"].read().decode())
except (BotoCoreError, ClientError) as error:
    sys.exit(str(error))
