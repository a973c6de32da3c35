# AX_MPISCSI_CFLAGS
# Warnings and hardening, each only if the compiler takes it; and
# --enable-werror, --enable-sanitizers=LIST, --enable-coverage.
AC_DEFUN([AX_MPISCSI_TRY_CFLAG], [
  AC_MSG_CHECKING([whether $CC accepts $1])
  ax_save_CFLAGS=$CFLAGS
  CFLAGS="$CFLAGS -Werror $1"
  AC_COMPILE_IFELSE([AC_LANG_PROGRAM([], [])],
    [AC_MSG_RESULT([yes]); MPISCSI_CFLAGS="$MPISCSI_CFLAGS $1"],
    [AC_MSG_RESULT([no])])
  CFLAGS=$ax_save_CFLAGS
])
AC_DEFUN([AX_MPISCSI_CFLAGS], [
  MPISCSI_CFLAGS="-std=gnu11"
  MPISCSI_LDFLAGS="-Wl,-z,relro -Wl,-z,now"
  for ax_flag in -Wall -Wextra -Wvla -Wstrict-prototypes \
                 -Wmissing-prototypes -fstack-protector-strong; do
    AX_MPISCSI_TRY_CFLAG([$ax_flag])
  done
  AC_ARG_ENABLE([werror],
    [AS_HELP_STRING([--enable-werror], [warnings are errors])])
  AS_IF([test "x$enable_werror" = xyes],
    [MPISCSI_CFLAGS="$MPISCSI_CFLAGS -Werror"])
  AC_ARG_ENABLE([sanitizers],
    [AS_HELP_STRING([--enable-sanitizers=LIST],
      [build with -fsanitize=LIST, e.g. address,undefined or thread])])
  AS_IF([test "x$enable_sanitizers" != x && test "x$enable_sanitizers" != xno],
    [MPISCSI_CFLAGS="$MPISCSI_CFLAGS -fsanitize=$enable_sanitizers -fno-omit-frame-pointer"
     MPISCSI_LDFLAGS="$MPISCSI_LDFLAGS -fsanitize=$enable_sanitizers"],
    [dnl _FORTIFY_SOURCE wants optimisation, and the sanitizers do better.
     AS_CASE(["$CFLAGS"], [*-O0*], [],
       [MPISCSI_CFLAGS="$MPISCSI_CFLAGS -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3"])])
  AC_ARG_ENABLE([coverage],
    [AS_HELP_STRING([--enable-coverage], [count lines run, for make coverage])])
  AS_IF([test "x$enable_coverage" = xyes],
    [MPISCSI_CFLAGS="$MPISCSI_CFLAGS --coverage -fprofile-update=atomic"
     MPISCSI_LDFLAGS="$MPISCSI_LDFLAGS --coverage"])
  AC_SUBST([MPISCSI_CFLAGS])
  AC_SUBST([MPISCSI_LDFLAGS])
])
