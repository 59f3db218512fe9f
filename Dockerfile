# The lab in a container, for machines whose own system is not Linux (macOS, Windows).
#     docker build -t labkit .
#     docker run --rm -it --shm-size=1g -p 127.0.0.1:8888:8888 \
#         -v labkit-answers:/home/student/.local/share/labkit labkit
# What is measured then is the Linux kernel of the virtual machine that containers run in there.
FROM python:3.12-slim-bookworm

RUN apt-get update \
    && apt-get install -y --no-install-recommends make chromium strace procps \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home --uid 1000 student

WORKDIR /home/student/labkit
COPY --chown=student requirements.lock pyproject.toml ./
RUN python -m pip install --no-cache-dir --require-hashes -r requirements.lock
COPY --chown=student . .
RUN python -m pip install --no-cache-dir --no-deps --no-build-isolation --editable . \
    && chown student /home/student/labkit

USER student
# A volume here takes over whose it is: predictions and runs then outlive the container.
RUN mkdir -p /home/student/.local/share/labkit /home/student/labkit/data/runs
EXPOSE 8888
# Inside a container JupyterLab has to listen beyond its loopback to be reached at all; the line
# above publishes the port to your own machine only, and JupyterLab asks for its token.
CMD ["jupyter", "lab", "--ip=0.0.0.0", "--no-browser", "--ServerApp.default_url=/lab/tree/notebooks/00_start_here.ipynb"]
