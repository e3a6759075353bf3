# An image in which the workflow runs, on CPUs; results stay outside of it:
#   docker build --build-arg TORCH_INDEX=<the CPU index that PyTorch's install page names> -t disentangledssl .
#   docker run --rm -v "$PWD/results:/disentangledssl/results" -v "$PWD/.snakemake:/disentangledssl/.snakemake" disentangledssl
# (.snakemake is Snakemake's memory of how results were made: without it nothing is made again when a setting changes.)
# Another preset, or a dry run: put Snakemake's options behind the image's name. Without TORCH_INDEX it is PyTorch's
# default build, for GPUs (3 GB more).
FROM python:3.11-slim-bookworm

# RDKit draws molecules with the X libraries; git names the commit in the manifest.
RUN apt-get update \
 && apt-get install -y --no-install-recommends git=1:2.39.* libexpat1=2.5.* libxext6=2:1.3.* libxrender1=1:0.9.* \
 && rm -rf /var/lib/apt/lists/*

WORKDIR /disentangledssl
ARG TORCH_INDEX
COPY requirements.lock requirements-torch.txt ./
RUN pip install --no-cache-dir --no-deps --require-hashes -r requirements.lock \
 && pip install --no-cache-dir ${TORCH_INDEX:+--index-url "$TORCH_INDEX"} -r requirements-torch.txt

COPY . .
RUN pip install --no-cache-dir --no-deps --no-build-isolation --editable . && pip check

ENTRYPOINT ["snakemake"]
CMD ["--cores", "2", "--configfile", "config/quick.yaml"]
