# The daemon, the command line and the GPU agent in one image.
#
#   docker build -t crossover-monitor .
#   docker run --read-only --tmpfs /tmp --cap-drop ALL -v crossover:/data \
#     -v ./crossover.toml:/etc/crossover/crossover.toml:ro -p 127.0.0.1:8787:8787 crossover-monitor
#
# Only /data (a SQLite database, if that is what the configuration names) and /tmp are written.

FROM python:3.12-slim AS builder
# What else is installed, such as `--build-arg EXTRAS=postgres,aws` for the sources of Amazon.
ARG EXTRAS=postgres
WORKDIR /build
RUN python -m venv /opt/crossover
COPY pyproject.toml README.md LICENSE ./
COPY monitor monitor
COPY collectors collectors
COPY reports reports
COPY migrations migrations
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheels . \
 && /opt/crossover/bin/pip install --no-cache-dir "$(echo /wheels/*.whl)[${EXTRAS}]"

# glibc, not musl: the NVIDIA runtime brings a driver library that needs it.
FROM python:3.12-slim
RUN groupadd --gid 10001 crossover \
 && useradd --uid 10001 --gid 10001 --home-dir /data --no-create-home crossover \
 && install --directory --owner crossover --group crossover /data
COPY --from=builder /opt/crossover /opt/crossover
ENV PATH=/opt/crossover/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    CROSSOVER_CONFIG=/etc/crossover/crossover.toml \
    CROSSOVER_HTTP__HOST=0.0.0.0
USER 10001
WORKDIR /data
EXPOSE 8787
HEALTHCHECK --interval=30s --timeout=10s --start-period=60s \
  CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:8787/healthz', timeout=8)"]
ENTRYPOINT ["crossover"]
CMD ["run"]
