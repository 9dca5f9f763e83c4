# chctl and its feeders: one image, the command says which. Built by `docker compose build`.
FROM python:3.11.14-slim-bookworm

# A user without a shell or a home: the only thing it may write is its volume.
RUN useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin chctl \
    && install -d -o chctl -g chctl -m 0700 /var/lib/chctl
WORKDIR /opt/chctl

# The pins first: a change of the code does not download them again.
COPY pyproject.toml constraints.txt README.md ./
COPY cli.py ./
COPY chctl chctl
COPY feeders feeders
# Editable, since chctl finds contracts/, migrations/, views/ and templates/ beside its package.
RUN pip install --no-cache-dir -c constraints.txt -e .
COPY contracts contracts
COPY migrations migrations
COPY views views
COPY dashboards dashboards
COPY templates templates
COPY deploy deploy

USER chctl
ENV CHCTL_DATA_DIR=/var/lib/chctl CHCTL_SECRETS_DIR=/run/secrets PYTHONUNBUFFERED=1
ENTRYPOINT ["chctl"]
CMD ["--help"]
