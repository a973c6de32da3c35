/* SPDX-License-Identifier: BSD-3-Clause */
/* The log's thread: whoever logs never waits for the sink; what is dropped is
 * counted; the end writes what is left, but does not wait for ever. */
#include <config.h>

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "base/log.h"

/* A reader who may stop to read. */
static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;
static unsigned long received, next, dropped, gaps;
static bool in_order;
static pthread_t writer;

static void
sink (enum log_level level, const char *line)
{
  unsigned long n;

  pthread_mutex_lock (&gate);
  writer = pthread_self ();
  if (sscanf (line, "%lu log lines were dropped", &n) == 1) {
    assert_int_equal (level, LOG_LEVEL_WARNING);
    dropped += n;
  }
  else {
    assert_int_equal (sscanf (line, "line %lu", &n), 1);
    assert_int_equal (level, n % 4);
    in_order = in_order && n >= next;
    gaps += n > next;
    next = n + 1;
    received++;
  }
  pthread_mutex_unlock (&gate);
}

static double
now (void)
{
  struct timespec ts;

  clock_gettime (CLOCK_MONOTONIC, &ts);
  return ts.tv_sec + ts.tv_nsec / 1e9;
}

static int
setup (void **unused)
{
  (void) unused;
  received = next = dropped = gaps = 0;
  in_order = true;
  log_set_sink (sink);
  return 0;
}

static void
put_lines (unsigned long n)
{
  static unsigned long number;

  for (number = 0; n > 0; --n, ++number)
    log_line ((enum log_level) (number % 4), "line %lu of those that fill "
              "the ring, some sixty bytes each", number);
}

static void
without_a_thread (void **unused)
{
  (void) unused;
  put_lines (10);
  assert_int_equal (received, 10);
  assert_true (pthread_equal (writer, pthread_self ()));
}

static void
the_end_writes_all (void **unused)
{
  (void) unused;
  for (int round = 0; round < 20; ++round) {
    setup (NULL);
    assert_int_equal (log_thread_start (), 0);
    put_lines (1000);
    log_thread_stop (10);
    assert_int_equal (received, 1000);
    assert_int_equal (dropped, 0);
    assert_true (in_order);
    assert_false (pthread_equal (writer, pthread_self ()));
  }
  /* And direct again. */
  put_lines (1);
  assert_int_equal (received, 1001);
}

static void
nobody_reads (void **unused)
{
  const unsigned long many = 40000;
  double start;

  (void) unused;
  assert_int_equal (log_thread_start (), 0);
  pthread_mutex_lock (&gate);
  start = now ();
  put_lines (many);
  assert_true (now () - start < 5);
  assert_int_equal (received, 0);
  pthread_mutex_unlock (&gate);
  log_thread_stop (10);
  assert_true (in_order);
  assert_true (received > 1000);
  assert_true (dropped > 0);
  assert_int_equal (received + dropped, many);
  /* The oldest were kept; one more found room if the thread took the first
   * one late. */
  assert_true (gaps <= 1);
}

static void *
logger (void *opaque)
{
  (void) opaque;
  for (int i = 0; i < 2000; ++i)
    log_line (LOG_LEVEL_ERROR, "line 0");
  return NULL;
}

static void
many_loggers (void **unused)
{
  pthread_t threads[4];

  (void) unused;
  assert_int_equal (log_thread_start (), 0);
  for (int i = 0; i < 4; ++i)
    assert_int_equal (pthread_create (&threads[i], NULL, logger, NULL), 0);
  for (int i = 0; i < 4; ++i)
    pthread_join (threads[i], NULL);
  log_thread_stop (10);
  assert_int_equal (received + dropped, 8000);
}

/* Last: the thread is never joined. */
static void
nobody_reads_at_the_end (void **unused)
{
  double start;

  (void) unused;
  assert_int_equal (log_thread_start (), 0);
  pthread_mutex_lock (&gate);
  put_lines (10);
  start = now ();
  log_thread_stop (0.3);
  assert_true (now () - start >= 0.29);
  assert_true (now () - start < 5);
  put_lines (100000);           /* does not wait, nor fill anything */
  log_thread_stop (0.3);
  assert_int_equal (received, 0);
  pthread_mutex_unlock (&gate);
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test_setup (without_a_thread, setup),
    cmocka_unit_test_setup (the_end_writes_all, setup),
    cmocka_unit_test_setup (nobody_reads, setup),
    cmocka_unit_test_setup (many_loggers, setup),
    cmocka_unit_test_setup (nobody_reads_at_the_end, setup),
  };

  return cmocka_run_group_tests (tests, NULL, NULL);
}
