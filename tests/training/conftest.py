from small_problem import configure as configure, data_file as data_file, quiet as quiet
