#!/bin/sh
# The role and the database of arbstr, in a new cluster; the role owns that database and nothing else.
set -eu
psql --quiet --username=postgres --dbname=postgres --set=ON_ERROR_STOP=1 <<'SQL'
\getenv password ARBSTR_DATABASE_PASSWORD
CREATE ROLE arbstr LOGIN PASSWORD :'password';
CREATE DATABASE arbstr OWNER arbstr;
SQL
