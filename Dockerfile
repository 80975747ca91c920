# strokeseg with its bundled model; needs no network, no home and no user of its own when it runs.
#
#   docker build -t strokeseg .
#   docker build -t strokeseg:gpu --build-arg VARIANT=gpu .
#   docker run --rm -v "$PWD:/data" --user "$(id -u):$(id -g)" strokeseg predict --t1 a.nii -o out

FROM python:3.11.14-slim-bookworm AS build

# cpu, or gpu: ONNX Runtime with CUDA and cuDNN beside OpenVINO (run it with --gpus all).
ARG VARIANT=cpu

WORKDIR /src
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY strokeseg strokeseg
COPY training training
COPY weights weights

RUN case "$VARIANT" in \
      cpu) set -- . ;; \
      gpu) set -- '.[gpu]' 'onnxruntime-gpu[cuda,cudnn]' ;; \
      *) echo "VARIANT is $VARIANT: give cpu or gpu" >&2; exit 2 ;; \
    esac \
    && python -m venv --without-pip /opt/strokeseg \
    && python -m pip --python /opt/strokeseg/bin/python install \
         --no-cache-dir --disable-pip-version-check --constraint constraints.txt "$@"


FROM python:3.11.14-slim-bookworm

ARG VERSION=0.2.0

LABEL org.opencontainers.image.title="strokeseg" \
      org.opencontainers.image.description="Find and measure stroke lesions in brain MRI" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.base.name="docker.io/library/python:3.11.14-slim-bookworm"

COPY --from=build /opt/strokeseg /opt/strokeseg

# The model is inside. To use another one from the Hub: -e HF_HUB_OFFLINE=0, and a folder for
# HF_HOME.
ENV PATH="/opt/strokeseg/bin:$PATH" \
    HF_HUB_OFFLINE=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    STROKESEG_IMAGE="strokeseg:$VERSION"

WORKDIR /data
USER 1000:1000
ENTRYPOINT ["strokeseg"]
CMD ["--help"]
