/* SPDX-License-Identifier: BSD-3-Clause */
/* Registering a path with a reservation key, against a model of a target, with
 * another host that fences us between any two commands, and commands that fail
 * before or after they were executed: every order of them.  Never may a server
 * that was fenced believe that it is registered.  And the bytes of PERSISTENT
 * RESERVE IN and OUT. */
#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "base/bytes.h"
#include "rules/registration.h"

#define OURS 0xabcu
#define THEIRS 0xbbbu
#define NR_NEXUSES 4            /* 0..2 are ours, 3 is the other host's */

struct target {
  uint32_t generation;
  uint64_t key[NR_NEXUSES];     /* 0: not registered */
};

/* SPC-4 5.12.7, table 231, as far as we need it. */
static enum register_answer
execute (struct target *t, unsigned nexus, const uint8_t *cdb,
         const uint8_t *in, uint8_t *out, size_t *len)
{
  *len = 0;
  if (cdb[0] == 0x5e) {
    assert_int_equal (cdb[1], PR_READ_KEYS);
    memset (out, 0, 64);
    put_be32 (out, t->generation);
    for (unsigned i = 0; i < NR_NEXUSES; ++i)
      if (t->key[i] != 0) {
        put_be64 (out + 8 + *len, t->key[i]);
        *len += 8;
      }
    put_be32 (out + 4, *len);
    *len += 8;
    return ANSWER_GOOD;
  }
  assert_int_equal (cdb[0], 0x5f);
  assert_int_equal (get_be32 (cdb + 5), PR_PARAMETERS);
  if (cdb[1] == PR_REGISTER && get_be64 (in) != t->key[nexus])
    return ANSWER_CONFLICT;
  assert_true (cdb[1] == PR_REGISTER || cdb[1] == PR_REGISTER_IGNORE);
  t->key[nexus] = get_be64 (in + 8);
  t->generation++;
  return ANSWER_GOOD;
}

/* PREEMPT with our key, by the other host. */
static void
preempt (struct target *t)
{
  for (unsigned i = 0; i < NR_NEXUSES; ++i)
    if (t->key[i] == OURS)
      t->key[i] = 0;
  t->generation++;
}

/* A program of the other host and of the wire: a digit for each command. */
enum { NOTHING, OTHER_REGISTERS, OTHER_PREEMPTS, NR_OTHER };
enum { ANSWERED, LOST_BEFORE, LOST_AFTER, NR_WIRE };
#define CHOICES (NR_OTHER * NR_WIRE)
#define COMMANDS 6

struct outcome {
  enum register_step step;
  bool preempted;               /* at any time */
  bool lost;
};

/* CODE is used up from its lowest digit. */
static void
one (struct target *t, unsigned nexus, struct registration *r, unsigned *code,
     struct outcome *o)
{
  uint8_t cdb[16], parameters[PR_PARAMETERS], answer[64];
  unsigned sent = 0;

  while (!registration_is_over (r)) {
    const unsigned digit = *code % CHOICES;
    enum register_answer result = ANSWER_ERROR;
    size_t len = 0;
    bool in;

    *code /= CHOICES;
    assert_in_range (++sent, 1, 7);
    if (digit % NR_OTHER == OTHER_PREEMPTS) {
      preempt (t);
      o->preempted = true;
    }
    else if (digit % NR_OTHER == OTHER_REGISTERS) {
      t->key[3] = THEIRS;
      t->generation++;
    }
    registration_command (r, cdb, sizeof answer, parameters, &in);
    if (digit / NR_OTHER != LOST_BEFORE)
      result = execute (t, nexus, cdb, parameters, answer, &len);
    if (digit / NR_OTHER != ANSWERED) {
      o->lost = true;
      result = ANSWER_ERROR;
    }
    registration_answer (r, result, answer, len);
  }
  o->step = r->step;
}

static void
never_unfenced (void **unused)
{
  unsigned programs = 1, done = 0, fenced = 0;

  (void) unused;
  for (unsigned i = 0; i < COMMANDS; ++i)
    programs *= CHOICES;
  /* Before: which of our three nexuses are registered. */
  for (unsigned before = 1; before < 8; ++before)
    for (unsigned program = 0; program < programs; ++program) {
      struct target t = { .generation = 7 };
      struct registration r, last = { .in_doubt = false };
      struct outcome o = { .step = REGISTER_FAILED };
      unsigned code = program, next = program;

      for (unsigned i = 0; i < 3; ++i)
        t.key[i] = before & 1u << i ? OURS : 0;
      registration_start (&r, OURS, false, false, true, &last);
      one (&t, 0, &r, &code, &o);
      /* The next digits of an unused program are only needed once. */
      for (unsigned i = 0; i < 3 && o.step == REGISTER_FAILED; ++i) {
        last = r;
        registration_start (&r, OURS, false, false, true, &last);
        next = i == 0 ? code : 0;       /* then nothing goes wrong */
        one (&t, 1 + i % 2, &r, &next, &o);
      }
      if (o.step == REGISTER_DONE) {
        /* Fenced after the last look at the keys: nothing is left of us. */
        assert_true (!o.preempted || (t.key[0] != OURS && t.key[1] != OURS &&
                                      t.key[2] != OURS));
        done++;
      }
      else if (o.step == REGISTER_FENCED) {
        /* Nobody is out for nothing, unless an answer was lost. */
        assert_true (o.preempted || o.lost);
        fenced++;
      }
    }
  assert_true (done > 1000 && fenced > 1000);
}

static void
first (void **unused)
{
  struct target t = { .generation = 1 };
  struct registration r;
  struct outcome o;
  unsigned code = 0;

  (void) unused;
  registration_start (&r, OURS, true, false, false, NULL);
  one (&t, 0, &r, &code, &o);
  assert_int_equal (o.step, REGISTER_DONE);
  assert_int_equal (t.key[0], OURS);
  /* One more nexus, by the rule of those that are known. */
  registration_start (&r, OURS, true, false, true, &r);
  one (&t, 1, &r, &code, &o);
  assert_int_equal (o.step, REGISTER_DONE);
  assert_int_equal (t.key[1], OURS);
  /* A target without reservations. */
  registration_start (&r, OURS, true, false, false, NULL);
  registration_answer (&r, ANSWER_ILLEGAL, NULL, 0);
  assert_int_equal (r.step, REGISTER_REFUSED);
  /* One that is busy, or in a state that refuses it. */
  registration_start (&r, OURS, true, false, false, NULL);
  registration_answer (&r, ANSWER_ERROR, NULL, 0);
  assert_int_equal (r.step, REGISTER_FAILED);
}

/* Keys that did not fit into the answer are not keys that are gone. */
static void
truncated (void **unused)
{
  uint8_t answer[24] = { 0, 0, 0, 9, 0, 0, 0, 64 };
  struct registration r;

  (void) unused;
  registration_start (&r, OURS, false, false, true, NULL);
  registration_answer (&r, ANSWER_CONFLICT, NULL, 0);
  assert_int_equal (r.step, REGISTER_LOOK);
  registration_answer (&r, ANSWER_GOOD, answer, sizeof answer);
  assert_int_equal (r.step, REGISTER_FAILED);
  for (size_t len = 0; len < 8; ++len) {
    registration_start (&r, OURS, false, false, true, NULL);
    registration_answer (&r, ANSWER_CONFLICT, NULL, 0);
    registration_answer (&r, ANSWER_GOOD, answer, len);
    assert_int_equal (r.step, REGISTER_FAILED);
  }
}

static void
bytes (void **unused)
{
  static const uint8_t reserve[10] = { 0x5f, 1, 5, 0, 0, 0, 0, 0, 24, 0 };
  static const uint8_t read_keys[10] = { 0x5e, 0, 0, 0, 0, 0, 0, 0x20, 0, 0 };
  static const uint8_t list[24] = {
    0, 0, 0, 0, 0, 0, 0x0a, 0xbc, 0, 0, 0, 0, 0, 0, 0x0b, 0xbb,
    0, 0, 0, 0, 0x05, 0, 0, 0,
  };
  const struct pr_parameters p = { OURS, THEIRS, true, true };
  uint8_t cdb[16], buf[PR_PARAMETERS];

  (void) unused;
  assert_int_equal (cdb_pr_out (cdb, PR_RESERVE, 5), 10);
  assert_memory_equal (cdb, reserve, 10);
  assert_int_equal (cdb_pr_in (cdb, PR_READ_KEYS, 0x2000), 10);
  assert_memory_equal (cdb, read_keys, 10);
  pr_parameters (buf, &p);
  assert_memory_equal (buf, list, sizeof list);
}

/* What LIO and tgt answer (PERSISTENT RESERVE IN; field notes). */
static void
answers (void **unused)
{
  static const uint8_t none[8] = { 0, 0, 0, 5 };
  static const uint8_t held[24] = {
    0, 0, 0, 6, 0, 0, 0, 16, 0, 0, 0, 0, 0, 0, 0x0b, 0xbb, 0, 0, 0, 0, 0, 5,
  };
  static const uint8_t tgt[8] = { 0, 8, 0, 0x80, 0xea, 0x01 };
  static const uint8_t lio[8] = { 0, 8, 0x15, 0xc1, 0xea, 0x01 };
  /* Two registrations: the holder's iSCSI name with an ISID, and one of
   * another transport. */
  static const uint8_t status[8 + 24 + 40 + 24 + 24] = {
    0, 0, 0, 2, 0, 0, 0, 112,
    0, 0, 0, 0, 0, 0, 0x0a, 0xbc, 0, 0, 0, 0, 1, 5, 0, 0, 0, 0, 0, 2,
    0, 0, 0, 40,
    0x45, 0, 0, 36, 'i', 'q', 'n', '.', '2', '0', '2', '6', '-', '1', '1',
    '.', 'a', ':', 'b', ',', 'i', ',', '0', 'x', '8', '0', '0', '0', '0', '1',
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    0, 0, 0, 0, 0, 0, 0x0b, 0xbb, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0,
    0, 0, 0, 24,
  };
  struct pr_reservation r;
  struct pr_capabilities c;
  struct pr_status s;
  struct pr_keys keys;
  size_t at = 0;

  (void) unused;
  assert_true (parse_pr_keys (none, 8, &keys));
  assert_int_equal (keys.nr, 0);
  assert_true (parse_pr_reservation (none, 8, &r));
  assert_int_equal (r.generation, 5);
  assert_false (r.held);
  assert_true (parse_pr_reservation (held, 24, &r));
  assert_true (r.held && r.key == THEIRS && r.type == 5 && r.scope == 0);
  assert_false (parse_pr_reservation (held, 23, &r));
  assert_false (parse_pr_reservation (held, 7, &r));

  assert_true (parse_pr_capabilities (tgt, 8, &c));
  assert_true (c.tmv && !c.crh && !c.sip_c && !c.atp_c && !c.ptpl_c);
  assert_int_equal (c.types, 1 << 1 | 1 << 3 | 1 << 5 | 1 << 6 | 1 << 7 |
                    1 << 8);
  assert_true (parse_pr_capabilities (lio, 8, &c));
  assert_true (c.crh && !c.sip_c && c.atp_c && c.ptpl_c && c.ptpl_a);
  assert_int_equal (c.allow_commands, 4);
  assert_false (parse_pr_capabilities (lio, 7, &c));

  assert_true (parse_pr_status (status, sizeof status, &at, &s));
  assert_true (s.key == OURS && s.holder && !s.all_tg_pt);
  assert_int_equal (s.type, 5);
  assert_int_equal (s.rtpi, 2);
  assert_string_equal (s.initiator, "iqn.2026-11.a:b,i,0x800001");
  assert_true (parse_pr_status (status, sizeof status, &at, &s));
  assert_true (s.key == THEIRS && !s.holder && s.all_tg_pt);
  assert_string_equal (s.initiator, "");
  assert_false (parse_pr_status (status, sizeof status, &at, &s));
  /* Cut anywhere: no more than what came. */
  for (size_t len = 0; len < sizeof status; ++len) {
    unsigned n = 0;

    for (at = 0; parse_pr_status (status, len, &at, &s); ++n)
      assert_true (at <= len);
    assert_true (n <= 2);
  }
  assert_string_equal (pr_type_text (5), "Write Exclusive, registrants only");
  assert_string_equal (pr_type_text (0x18), pr_type_text (8));
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test (never_unfenced),
    cmocka_unit_test (first),
    cmocka_unit_test (truncated),
    cmocka_unit_test (bytes),
    cmocka_unit_test (answers),
  };

  return cmocka_run_group_tests (tests, NULL, NULL);
}
