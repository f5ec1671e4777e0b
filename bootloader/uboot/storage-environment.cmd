# Where the state is: U-Boot's own environment, in two copies (CONFIG_SYS_REDUNDAND_ENVIRONMENT). It was loaded before
# this script began, and saveenv writes the copy that is not current.
setenv tandem_load true
setenv tandem_save saveenv
