# One image for everything: `restyle worker`, `restyle beat`, `restyle dashboard`, `restyle submit`, `restyle sandbox`.
# What is in it is the lock's (requirements/otel.txt: what restyle needs, and OpenTelemetry), each file by its hash.
ARG PYTHON=3.13

FROM python:${PYTHON}-slim AS build
WORKDIR /build
RUN python -m venv /opt/restyle
# The locked dependencies first: they change seldom, and stay in the cache.
COPY requirements/otel.txt requirements/
RUN /opt/restyle/bin/pip install --no-cache-dir --require-hashes --requirement requirements/otel.txt
# The wheel's builder is locked too: nothing is fetched by name alone.
COPY requirements/dist.txt requirements/
RUN python -m venv /opt/build \
    && /opt/build/bin/pip install --no-cache-dir --require-hashes --requirement requirements/dist.txt
COPY pyproject.toml README.md LICENSE CHANGELOG.md ./
COPY apps apps
COPY config config
COPY examples examples
COPY producers producers
COPY reports reports
COPY restyle restyle
COPY tasks tasks
COPY workers workers
# One time for every file of the wheel, the first that a zip can tell: pip notes the wheel's digest in the image.
RUN SOURCE_DATE_EPOCH=315532800 /opt/build/bin/python -m build --wheel --no-isolation \
    && /opt/restyle/bin/pip install --no-cache-dir --no-deps --no-index dist/*.whl \
    && /opt/restyle/bin/pip check

FROM python:${PYTHON}-slim
RUN groupadd --gid 10001 restyle && useradd --create-home --uid 10001 --gid 10001 restyle \
    && install --directory --mode=0700 --owner=restyle --group=restyle /spool
COPY --from=build /opt/restyle /opt/restyle
ENV PATH=/opt/restyle/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 RESTYLE_LOG_FORMAT=json
USER 10001:10001
WORKDIR /home/restyle
# A worker drains: no new call, calls in flight end and are stored. Give it RESTYLE_API_TIMEOUT and some more to do so.
STOPSIGNAL SIGTERM
ENTRYPOINT ["restyle"]
CMD ["--help"]
