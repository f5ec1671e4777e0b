# The boot itself. The board sets
#   tandem_boot      loads and boots the kernel of ${tandem_slot}; returns only when it cannot. The kernel's command line
#                    must have rauc.slot=${tandem_slot}
#   tandem_recovery  what to do when no slot may be booted; default: stay at the prompt
test -n "${tandem_recovery}" || setenv tandem_recovery 'echo tandem: waiting for help at the prompt'

# The state cannot be saved: a trial that cannot be counted is not begun, the confirmed slots need no counting.
setenv tandem_uncounted 'echo "tandem: the state cannot be saved"; if test "${tandem_slot}" = "${tandem_trial}"; then setenv tandem_slot; if test "${tandem_active_left}" != 0; then setenv tandem_slot ${tandem_active}; elif test "${tandem_other_good}" = 1; then setenv tandem_slot ${tandem_other}; fi; fi'
# The kernel could not be loaded. A trial is tried again, until its boots are used up. The active slot is left for the other
# one, if that is good.
setenv tandem_failed 'echo "tandem: slot ${tandem_slot} cannot be booted"; if test "${tandem_slot}" = "${tandem_trial}"; then reset; elif test "${tandem_slot}" = "${tandem_active}" && test "${tandem_other_good}" = 1; then setenv BOOT_${tandem_active}_LEFT 0; setenv tandem_confirmed ${tandem_other}; run tandem_decide; run tandem_save || echo "tandem: the state cannot be saved"; echo "tandem: slot ${tandem_slot} (${tandem_reason})"; run tandem_boot; fi'

if run tandem_load; then
  run tandem_decide
  echo "tandem: slot ${tandem_slot} (${tandem_reason}), A ${BOOT_A_LEFT} B ${BOOT_B_LEFT} left"
  if test -n "${tandem_write}"; then
    run tandem_save || run tandem_uncounted
  fi
  if test -n "${tandem_slot}"; then
    run tandem_boot
    run tandem_failed
  fi
  echo "tandem: recovery: nothing can be booted"
else
  echo "tandem: recovery: neither copy of the state can be read"
fi
run tandem_recovery
