# Where the state is: two copies of an environment block on a disk, for a U-Boot that cannot save its own environment.
# The format is that of a redundant environment, so that libubootenv reads and writes the same blocks on the host:
# u32 CRC-32 of the data, u8 number that grows by one (255 is followed by 0), data.
#
# Set before this script, all hexadecimal:
#   tandem_disk     command that reads and writes blocks: "virtio", "mmc"
#   tandem_block_0  first block of copy 0; tandem_block_1 of copy 1
#   tandem_blocks   blocks of one copy
#   tandem_memory   memory for three copies and 16 bytes
setenv tandem_names BOOT_ORDER BOOT_A_LEFT BOOT_B_LEFT tandem_trial tandem_confirmed tandem_security tandem_state
setexpr tandem_size ${tandem_blocks} * 200
setexpr tandem_data_size ${tandem_size} - 5
setexpr tandem_at_0 ${tandem_memory} + 10
setexpr tandem_at_1 ${tandem_at_0} + ${tandem_size}
setexpr tandem_at_new ${tandem_at_1} + ${tandem_size}

# The copy that the words below are about: ${tandem_at}, and its parts.
setenv tandem_parts 'setexpr tandem_flag ${tandem_at} + 4; setexpr tandem_data ${tandem_at} + 5'
setenv tandem_pick_0 'setenv tandem_at ${tandem_at_0}; setenv tandem_block ${tandem_block_0}; run tandem_parts'
setenv tandem_pick_1 'setenv tandem_at ${tandem_at_1}; setenv tandem_block ${tandem_block_1}; run tandem_parts'
setenv tandem_pick_new 'setenv tandem_at ${tandem_at_new}; run tandem_parts'

# U-Boot leaves a checksum in memory with its highest byte first; in an environment the lowest is first.
setenv tandem_sum 'crc32 ${tandem_data} ${tandem_data_size} ${tandem_memory}; for i in 0 1 2 3; do setexpr tandem_from ${tandem_memory} + ${i}; setexpr tandem_to ${tandem_memory} + 7; setexpr tandem_to ${tandem_to} - ${i}; cp.b ${tandem_from} ${tandem_to} 1; done; setexpr tandem_sum_at ${tandem_memory} + 4'
setenv tandem_whole 'run tandem_sum; cmp.b ${tandem_sum_at} ${tandem_at} 4'
setenv tandem_read '${tandem_disk} read ${tandem_at} ${tandem_block} ${tandem_blocks}'

# Both copies are read; the newer of the whole ones counts. Fails when neither is whole.
setenv tandem_flags 'run tandem_pick_0; setexpr.b tandem_flag_0 *${tandem_flag}; run tandem_pick_1; setexpr.b tandem_flag_1 *${tandem_flag}'
setenv tandem_newer 'run tandem_flags; setenv tandem_current 0; if itest ${tandem_flag_1} > ${tandem_flag_0}; then setenv tandem_current 1; fi; if itest ${tandem_flag_0} == ff && itest ${tandem_flag_1} == 0; then setenv tandem_current 1; fi; if itest ${tandem_flag_1} == ff && itest ${tandem_flag_0} == 0; then setenv tandem_current 0; fi'
setenv tandem_try 'run tandem_pick_${tandem_copy}; if run tandem_read && run tandem_whole; then setenv tandem_found "${tandem_found}${tandem_copy}"; fi'
setenv tandem_find 'setenv tandem_found; for tandem_n in 0 1; do setenv tandem_copy ${tandem_n}; run tandem_try; done; if test "${tandem_found}" = 01; then run tandem_newer; else setenv tandem_current "${tandem_found}"; fi; test -n "${tandem_current}"'
setenv tandem_import 'for name in ${tandem_names}; do env delete -f ${name}; done; run tandem_pick_${tandem_current}; env import -b ${tandem_data} ${tandem_data_size} ${tandem_names}; true'
setenv tandem_load 'if run tandem_find; then run tandem_import; else false; fi'

# All variables go in one write to the copy that is not current, and are read back.
setenv tandem_make 'run tandem_pick_${tandem_current}; setexpr.b tandem_next *${tandem_flag} + 1; run tandem_pick_new; env export -b -s ${tandem_data_size} ${tandem_data} ${tandem_names}; run tandem_sum; cp.b ${tandem_sum_at} ${tandem_at} 4; mw.b ${tandem_flag} ${tandem_next}'
setenv tandem_write_copy '${tandem_disk} write ${tandem_at_new} ${tandem_block} ${tandem_blocks} && run tandem_read && cmp.b ${tandem_at_new} ${tandem_at} ${tandem_size}'
setenv tandem_save 'run tandem_make; setexpr tandem_copy 1 - ${tandem_current}; run tandem_pick_${tandem_copy}; if run tandem_write_copy; then setenv tandem_current ${tandem_copy}; else false; fi'
