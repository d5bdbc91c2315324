# The gateway. To pin the base image by digest as well, which is what a release should do:
#   docker buildx imagetools inspect python:3.13-slim-trixie
# and append the digest it prints to both FROM lines: python:3.13-slim-trixie@sha256:...

FROM python:3.13-slim-trixie AS build
WORKDIR /src
RUN python -m venv /opt/remit
COPY constraints-server.txt ./
RUN /opt/remit/bin/pip install --no-cache-dir --no-deps --require-hashes -r constraints-server.txt
COPY pyproject.toml README.md LICENSE ./
COPY clients/python clients/python
COPY server server
COPY policies policies
RUN /opt/remit/bin/pip wheel --no-cache-dir --no-deps --wheel-dir /wheels . \
    && /opt/remit/bin/pip install --no-cache-dir --no-deps --no-index /wheels/*.whl \
    && /opt/remit/bin/pip check

FROM python:3.13-slim-trixie
COPY --from=build /opt/remit /opt/remit
COPY policies /usr/share/remit/policies
# State that matters belongs into the database; with SQLite, its file belongs into this volume.
RUN install -d -o 10001 -g 10001 -m 0700 /var/lib/remit
VOLUME /var/lib/remit
ENV PATH=/opt/remit/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
USER 10001:10001
# No HEALTHCHECK: the gateway answers the standard gRPC health service, which orchestrators ask themselves.
ENTRYPOINT ["remit-server"]
CMD ["serve", "--config", "/etc/remit/remit.toml"]
