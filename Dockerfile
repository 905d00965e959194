# The verifier alone: the base install, no torch, no compiler, no network needed to verify.
#   docker build --tag huref .
#   docker run --rm --network none --volume "$PWD/model.huref:/model.huref:ro" huref verify /model.huref
FROM python:3.13-slim AS build
WORKDIR /source
COPY pyproject.toml setup.py README.md LICENSE ./
COPY common common
COPY circuits circuits
COPY verifier verifier
COPY prover prover
COPY package package
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheels .

FROM python:3.13-slim
COPY constraints.txt /tmp/
COPY --from=build /wheels /wheels
RUN pip install --no-cache-dir --constraint /tmp/constraints.txt /wheels/*.whl && rm -r /wheels /tmp/constraints.txt
USER nobody
ENTRYPOINT ["huref"]
CMD ["--help"]
