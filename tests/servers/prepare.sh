#!/bin/sh
# What the tests want of the system beyond the locked wheels: PgBouncer. Installs it where that takes no question, and
# says what there is. Never fails: without it the tests that need it are skipped, and the test run says so.
set -eu
PATH="$PATH:/usr/sbin:/usr/local/sbin"
if ! command -v pgbouncer >/dev/null && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  echo "Installing PgBouncer, which some tests need"
  # RUNLEVEL keeps the package from starting a server of its own.
  { apt-get update -qq && RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends pgbouncer; } \
    >/dev/null 2>&1 </dev/null || echo "PgBouncer could not be installed"
fi
if command -v pgbouncer >/dev/null; then
  echo "PgBouncer for the tests: $(command -v pgbouncer)"
else
  echo "No PgBouncer here: the tests behind it are skipped. On Debian, as root: apt-get install pgbouncer"
fi
