# Where the state is: U-Boot's own environment, in two copies (CONFIG_SYS_REDUNDAND_ENVIRONMENT). It was loaded before
# this script began, and saveenv writes the copy that is not current.
#
# When neither copy can be read U-Boot takes the environment that it was built with. That says nothing about the slots, so
# it must not have tandem_state=1; what provisions the unit, and Tandem on the host, write that.
setenv tandem_load 'test "${tandem_state}" = 1'
setenv tandem_save saveenv
