// A thread cannot change the folder.
process.chdir('.');
