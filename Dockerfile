# The course in a container; what a reader changes stays in the volume:
#   make image && docker run --rm -p 8888:8888 -v odelab:/home/reader/work odelab
FROM python:3.11-slim

RUN useradd --create-home --uid 1000 reader
WORKDIR /opt/odelab
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY odelab odelab
COPY data data
COPY notebooks notebooks
# PyTorch's build for CPUs first: pip's default one for Linux brings several GB of CUDA libraries.
RUN pip install --no-cache-dir "$(grep '^torch==' constraints.txt)" --index-url https://download.pytorch.org/whl/cpu \
    && pip install --no-cache-dir '.[lab]' -c constraints.txt \
    && mkdir -p /home/reader/work && chown reader /home/reader/work

# By its number, so that Kubernetes can see that it is not root.
USER 1000
WORKDIR /home/reader
ENV OMP_NUM_THREADS=1
EXPOSE 8888
CMD ["sh", "-c", "odelab copy work && exec jupyter lab --ip=0.0.0.0 --no-browser --LabApp.default_url=/lab/tree/work/00_start_here.ipynb"]
