TEST_TIMEOUT=250
. /work/main/tests/functions.sh
simple_target 2 32M thin_provisioning=1
portals=$(join_portals "${portal[@]}")
for k in $(seq 2); do
start_mpiscsi -v portals="$portals" $EXTRA
for sc in $SCEN; do "$testsdir/raw-nbd.py" "$sock" structured $sc; done
kill -TERM $mpiscsi_pid
wait_until 1 gone $mpiscsi_pid || :
if is_running $mpiscsi_pid; then
echo STUCK $k; grep -n "error:" $mpiscsi_log | sort | uniq -c | tail -5
gdb -p $mpiscsi_pid -batch -ex "thread apply all bt 4" 2>/dev/null | grep -A4 "^Thread" | tail -60; kill -9 $mpiscsi_pid
fi
mpiscsi_pid=
done
