# The boot itself. The board sets
#   tandem_boot      loads and boots the kernel of ${tandem_slot}; returns only when it cannot. The kernel's command line
#                    must have rauc.slot=${tandem_slot}
#   tandem_recovery  what to do when no slot may be booted; default: stay at the prompt
test -n "${tandem_recovery}" || setenv tandem_recovery 'echo tandem: waiting for help at the prompt'
if run tandem_load; then
  run tandem_decide
  echo "tandem: slot ${tandem_slot} (${tandem_reason}), A ${BOOT_A_LEFT} B ${BOOT_B_LEFT} left"
  if test -z "${tandem_slot}"; then
    run tandem_recovery
  else
    if test -n "${tandem_write}"; then
      # A trial that cannot be counted is not begun.
      run tandem_save || setenv tandem_slot
    fi
    if test -z "${tandem_slot}" && test "${tandem_active_left}" != 0; then
      echo "tandem: the state cannot be saved; the active slot is booted"
      setenv tandem_slot ${tandem_active}
    fi
    run tandem_boot
    echo "tandem: slot ${tandem_slot} cannot be booted"
    reset
  fi
else
  echo "tandem: recovery: neither copy of the state can be read"
  run tandem_recovery
fi
