#!/bin/sh
# The roles and the database of arbstr, in a new cluster: one owns that database and nothing else, the other gets from it
# what processes that serve calls may do (role.sh).
set -eu
psql --quiet --username=postgres --dbname=postgres --set=ON_ERROR_STOP=1 <<'SQL'
\getenv password ARBSTR_DATABASE_PASSWORD
\getenv proxy ARBSTR_PROXY_PASSWORD
CREATE ROLE arbstr LOGIN PASSWORD :'password';
CREATE ROLE arbstr_proxy LOGIN PASSWORD :'proxy';
CREATE DATABASE arbstr OWNER arbstr;
SQL
