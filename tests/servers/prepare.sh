#!/bin/sh
# What the tests want of the system beyond the locked wheels: PgBouncer, and a Redis that has TLS. Installs them where
# that takes no question, and says what there is. Never fails: without them the tests that need them are skipped, or run
# on one server less, and the test run says so.
set -eu
PATH="$PATH:/usr/sbin:/usr/local/sbin"

# install PROGRAM PACKAGE: RUNLEVEL keeps the package from starting a server of its own.
install() {
  if command -v "$1" >/dev/null || [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then return 0; fi
  echo "Installing $2, which some tests need"
  { apt-get update -qq && RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$2"; } \
    >/dev/null 2>&1 </dev/null || echo "$2 could not be installed"
}

install pgbouncer pgbouncer
install redis-server redis-server
if command -v pgbouncer >/dev/null; then
  echo "PgBouncer for the tests: $(command -v pgbouncer)"
else
  echo "No PgBouncer here: the tests behind it are skipped. On Debian, as root: apt-get install pgbouncer"
fi
if command -v redis-server >/dev/null; then
  echo "Redis for the tests, beside the wheels': $(command -v redis-server)"
else
  echo "No Redis but the wheels' here, which have no TLS: it is not tested. On Debian, as root: apt-get install redis-server"
fi
