# Two commands for a newcomer: `make demo` and `make test`. Both make .venv first if it is missing.
PY := .venv/bin/python
PYTHON ?= python3.11

.PHONY: demo test lint format bench lock clean

.venv/.installed: pyproject.toml constraints.txt
	test -x $(PY) || $(PYTHON) -m venv .venv
	$(PY) -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

demo: .venv/.installed
	.venv/bin/chctl demo

test: .venv/.installed
	$(PY) -m pytest -q -n 2 --dist loadfile $(ARGS)

lint: .venv/.installed
	.venv/bin/ruff format --check .
	.venv/bin/ruff check .
	.venv/bin/mypy
	.venv/bin/chctl lint

format: .venv/.installed
	.venv/bin/ruff format .
	.venv/bin/ruff check --fix .

bench: .venv/.installed
	for f in bench/*.py; do $(PY) $$f || exit 1; done

# Pin what the direct dependencies bring, after a change of pyproject.toml.
lock:
	rm -rf .venv && $(PYTHON) -m venv .venv && $(PY) -m pip install --quiet -e '.[dev]'
	$(PY) -m pip freeze --exclude-editable > constraints.txt

clean:
	rm -rf .venv .chctl build *.egg-info
