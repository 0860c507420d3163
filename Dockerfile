# The BIDS App:
#   docker build -t sklearn-iqt .
#   docker run --rm -u $(id -u) -v BIDS_DIR:/bids:ro -v OUT_DIR:/out -v MODEL_DIR:/models:ro \
#       sklearn-iqt /bids /out participant --model /models/srep.iqt
FROM python:3.11-slim
WORKDIR /src
COPY pyproject.toml setup.py constraints.txt README.md LICENSE ./
COPY sklearn_iqt sklearn_iqt
# The index of PyTorch has builds without CUDA.
RUN pip install --no-cache-dir --extra-index-url https://download.pytorch.org/whl/cpu \
        -c constraints.txt '.[deep]' \
    && rm -rf /src
WORKDIR /
# The user of the container may not have a writable home folder.
ENV HOME=/tmp NUMBA_CACHE_DIR=/tmp/numba
ENTRYPOINT ["sklearn-iqt", "bids"]
