#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# In-doubt write fencing as a model (fence.pml): spin tries every order of two
# paths, two clients, deaths, logins, resets, and servers that are killed.  What
# the server does must be right; each way of leaving something out must be found
# wrong, so that the model is known to be able to fail.
TEST_TIMEOUT=120
# shellcheck source=../functions.sh
. "$(dirname "$0")/../functions.sh"
requires spin -V
requires command -v "${CC:-cc}"

# check right|wrong [-DNAME]...: at most 1 GiB and a minute.
check () {
  local want=$1 dir=$tmpdir/model opt=-O0 found states; shift
  # Only what is right is searched to the end.
  [ "$want" = wrong ] || opt=-O1
  mkdir "$dir"
  (cd "$dir"
   spin -a "$@" "$testsdir/fence/fence.pml" >spin.out 2>&1 || { cat spin.out; exit 1; }
   "${CC:-cc}" $opt -w -DSAFETY -DCOLLAPSE -DMEMLIM=1024 -o pan pan.c
   # -E: a server that has no deaths and resets left may wait for ever.
   timeout 60 nice ./pan -E -m200000 >pan.out 2>&1 || :) || fail "the model $* cannot be checked"
  # An error of another kind, or an incomplete search, is no verdict.
  if grep -q 'assertion violated' "$dir/pan.out"; then
    found=wrong
  elif grep -q ', errors: 0$' "$dir/pan.out" &&
       ! grep -qi 'Search not completed\|max search depth too small\|out of memory' "$dir/pan.out"; then
    found=right
  else
    fail "no verdict for $*:"$'\n'"$(tail -n 30 "$dir/pan.out")"
  fi
  states=$(sed -n 's/^ *\([0-9.e+]*\) states, stored.*/\1/p' "$dir/pan.out")
  say "${*:-as it is}: $found, $states states"
  assert_equal "verdict on ${*:-the model}" "$want" "$found"
  rm -r "$dir"
}

# It reaches the end at all, also after servers were killed.
check wrong -DREACH
check wrong -DREACH -DKILLS=2

# Paths die, the server lives.
check right -DDEATHS=4
check right -DSTRICT -DDEATHS=4
check right -DSTRICT -DNORESET -DDEATHS=4
check wrong -DNOFENCE
check wrong -DNORESET
check wrong -DNOREINSTATE
check wrong -DABORTEDISDEAD

# Another initiator resets the unit.
check right -DOTHERS=1 -DDEATHS=1
check wrong -DOTHERS=1 -DDEATHS=1 -DUAISDEAD

# It is killed, and the next one knows what is in the state file.
check right -DKILLS=1 -DDEATHS=3
check right -DKILLS=2 -DDEATHS=0
check right -DSTRICT -DNORESET -DKILLS=1 -DDEATHS=3
check wrong -DKILLS=1 -DDEATHS=0 -DNOFILE
check wrong -DKILLS=1 -DDEATHS=0 -DFILELATE
check wrong -DKILLS=1 -DDEATHS=1 -DFILELIVE
check wrong -DKILLS=2 -DDEATHS=0 -DFILEEARLY
