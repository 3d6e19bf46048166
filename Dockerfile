# Two stages: build a wheel and its environment, then ship only that. Runs as nobody in particular.
FROM python:3.11-slim AS build
WORKDIR /src
RUN python -m venv /opt/sigmaguard
COPY pyproject.toml constraints.txt README.md ./
COPY sigmaguard sigmaguard
COPY proxy proxy
COPY agents agents
COPY policies policies
RUN /opt/sigmaguard/bin/pip install --no-cache-dir -c constraints.txt '.[otel,mcp]'

FROM python:3.11-slim
RUN useradd --system --uid 10001 --home-dir /data sigmaguard && install -d -o sigmaguard /data
COPY --from=build /opt/sigmaguard /opt/sigmaguard
ENV PATH=/opt/sigmaguard/bin:$PATH PYTHONUNBUFFERED=1 \
    SIGMAGUARD_LISTEN=0.0.0.0:8003 SIGMAGUARD_ADMIN=0.0.0.0:8004 SIGMAGUARD_DATA=/data
USER sigmaguard
VOLUME /data
EXPOSE 8003 8004
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s \
    CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8003/healthz', timeout=2)"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["sigmaguard"]
CMD ["serve"]
