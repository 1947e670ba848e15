# The HTTP API, without PyTorch: docker build -f deploy/docker/api.Dockerfile -t impasto-api .
ARG PYTHON_IMAGE=python:3.11-slim
FROM ${PYTHON_IMAGE}

RUN useradd --uid 10001 --create-home impasto

# A package index of one's own; pip reads them from the environment of the build.
ARG PIP_INDEX_URL
ARG PIP_EXTRA_INDEX_URL
RUN --mount=type=cache,target=/root/.cache/pip \
    --mount=type=bind,source=pyproject.toml,target=/source/pyproject.toml \
    --mount=type=bind,source=requirements.lock,target=/source/requirements.lock \
    --mount=type=bind,source=deploy/docker/wheels,target=/source/wheels \
    --mount=type=bind,source=deploy/docker/install.sh,target=/source/install.sh \
    sh /source/install.sh api

WORKDIR /app
ENV PYTHONPATH=/app PYTHONUNBUFFERED=1
COPY shared shared
COPY client client
COPY api api

USER 10001:10001
RUN python -c "import api.command, sys; assert 'torch' not in sys.modules"

# It has no keys yet, so it also wants IMPASTO_ALLOW_ANONYMOUS=true from whoever publishes the port.
ENV IMPASTO_API_HOST=0.0.0.0 IMPASTO_API_PORT=8080
EXPOSE 8080
HEALTHCHECK --interval=15s --timeout=5s --start-period=20s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as http; http.urlopen(f'http://127.0.0.1:{os.environ[\"IMPASTO_API_PORT\"]}/healthz', timeout=4)"]
CMD ["impasto", "api"]
